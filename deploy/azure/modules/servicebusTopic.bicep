// One topic with its subscriptions, as the emulator's Config.json names them. Only the service of its name publishes to it.
param namespace string
param topic object
param principals object
param scaler string

var sender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'

resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespace
}

resource made 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: bus
  name: topic.Name
  properties: {
    requiresDuplicateDetection: topic.Properties.RequiresDuplicateDetection
    duplicateDetectionHistoryTimeWindow: topic.Properties.DuplicateDetectionHistoryTimeWindow
  }
}

resource publishing 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(made.id, principals[topic.Name], sender)
  scope: made
  properties: {
    principalId: principals[topic.Name]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sender)
  }
}

module subscriptions 'servicebusSubscription.bicep' = [for subscription in topic.Subscriptions: {
  name: 'subscription-${topic.Name}-${subscription.Name}'
  params: {
    namespace: namespace
    topic: made.name
    subscription: subscription
    consumer: principals[subscription.Name]
    scaler: scaler
  }
}]
