// One container, and the services that may do with its items what their role says.
param account string
param database string
param container object
param principals object

var ofProvisioning = {
  events: 'asking'
  views: 'noting'
}

resource within 'Microsoft.DocumentDB/databaseAccounts@2024-11-15' existing = {
  name: account
}

resource zekt 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2024-11-15' existing = {
  parent: within
  name: database
}

resource made 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2024-11-15' = {
  parent: zekt
  name: container.name
  properties: {
    resource: {
      id: container.name
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: [
          container.partitionKey
        ]
      }
      indexingPolicy: container.indexingPolicy
      defaultTtl: container.defaultTtl
    }
  }
}

@batchSize(1)
resource access 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = [for owner in container.owners: {
  parent: within
  name: guid(made.id, principals[owner], container.role)
  properties: {
    principalId: principals[owner]
    roleDefinitionId: '${within.id}/sqlRoleDefinitions/${guid(within.id, container.role)}'
    scope: '${within.id}/dbs/${database}/colls/${made.name}'
  }
}]

// Provisioning asks which events are stored, and notes among the views which ones a release may store.
resource provisioning 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2024-11-15' = if (contains(ofProvisioning, container.role)) {
  parent: within
  name: guid(made.id, principals.provision, 'provisioning')
  properties: {
    principalId: principals.provision
    roleDefinitionId: '${within.id}/sqlRoleDefinitions/${guid(within.id, ofProvisioning[?container.role] ?? '')}'
    scope: '${within.id}/dbs/${database}/colls/${made.name}'
  }
  dependsOn: [
    access
  ]
}
