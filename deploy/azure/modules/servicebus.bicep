// The namespace with its topics, and in a second region an empty one that its entities are copied to.
param name string
param location string
param secondLocation string
param tier string
param topics array
param principals object
param scaler string
param logWorkspaceId string

@description('Whether the second namespace is paired already.')
param secondBusPaired bool

var isPaired = !empty(secondLocation)
// It is not the namespace's own name, so that one that stood alone can be paired.
var alias = '${name}-pair'
var isPremium = tier == 'Premium'
var dataOwner = '090c5cfd-751d-490a-894a-3ce6f1109419'

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  sku: {
    name: tier
    tier: tier
    capacity: isPremium ? 1 : null
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: isPremium ? 'Disabled' : 'Enabled'
    zoneRedundant: isPremium ? true : null
  }
}

module entities 'servicebusTopic.bicep' = [for topic in topics: {
  name: 'topic-${topic.Name}'
  params: {
    namespace: bus.name
    topic: topic
    principals: principals
    scaler: scaler
  }
}]

resource provisioning 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(bus.id, principals.provision, dataOwner)
  scope: bus
  properties: {
    principalId: principals.provision
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataOwner)
  }
}

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(logWorkspaceId)) {
  name: 'audit'
  scope: bus
  properties: {
    workspaceId: logWorkspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

module second 'servicebusSecond.bicep' = if (isPaired) {
  name: 'servicebus-second'
  params: {
    name: '${name}-second'
    location: secondLocation
    tier: tier
    principals: principals
    scaler: scaler
    isPaired: secondBusPaired
  }
}

output id string = bus.id
output name string = bus.name
output alias string = alias
output secondId string = isPaired ? resourceId('Microsoft.ServiceBus/namespaces', '${name}-second') : ''
output hostName string = '${isPaired ? alias : bus.name}.servicebus.windows.net'
