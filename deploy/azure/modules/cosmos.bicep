// An account with one write region, its database and containers. Whoever holds a role enters; there are no keys.
param name string
param location string
param secondLocation string
param consistency string
param containers array
param maxRequestUnits int
param backupPolicy object
param principals object

var isPaired = !empty(secondLocation)
var primary = {
  locationName: location
  failoverPriority: 0
  isZoneRedundant: true
}
var secondary = {
  locationName: secondLocation
  failoverPriority: 1
  isZoneRedundant: false
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' = {
  name: name
  location: location
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: isPaired ? [
      primary
      secondary
    ] : [
      primary
    ]
    enableMultipleWriteLocations: false
    // With one region it means nothing. It is on from the start, since Azure changes an account's regions and nothing beside.
    enableAutomaticFailover: true
    consistencyPolicy: {
      defaultConsistencyLevel: consistency
    }
    backupPolicy: backupPolicy
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: 'Disabled'
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15' = {
  parent: account
  name: 'zekt'
  properties: {
    resource: {
      id: 'zekt'
    }
    options: {
      autoscaleSettings: {
        maxThroughput: maxRequestUnits
      }
    }
  }
}

// What the code does and nothing else: nobody changes or deletes an event, and provisioning writes nothing but its notes.
@batchSize(1)
resource roles 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2024-11-15' = [for role in items(loadJsonContent('../cosmosRoles.json')): {
  parent: account
  name: guid(account.id, role.key)
  properties: {
    roleName: 'zekt-${role.key}'
    type: 'CustomRole'
    assignableScopes: [
      account.id
    ]
    permissions: [
      {
        dataActions: role.value
      }
    ]
  }
}]

@batchSize(1)
module made 'cosmosContainer.bicep' = [for container in containers: {
  name: '${name}-${container.name}'
  params: {
    account: account.name
    database: database.name
    container: container
    principals: principals
  }
  dependsOn: [
    roles
  ]
}]

// Provisioning lists the containers, which a role on the database alone allows.
resource provisioning 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = {
  parent: account
  name: guid(database.id, principals.provision, 'looking')
  properties: {
    principalId: principals.provision
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${guid(account.id, 'looking')}'
    scope: '${account.id}/dbs/${database.name}'
  }
  dependsOn: [
    made
  ]
}

output id string = account.id
output endpoint string = account.properties.documentEndpoint
output database string = database.name
